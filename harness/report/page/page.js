"use strict";
(() => {
  const root = document.documentElement;
  root.classList.remove("no-script");

  const make = (tag, text, attributes) => {
    const element = document.createElement(tag);
    if (text) element.textContent = text;
    return Object.assign(element, attributes);
  };
  const collator = new Intl.Collator("en", { numeric: true });
  const count = new Intl.NumberFormat("en").format;

  // Theme: the system's, unless the reader chooses; remembered where the browser lets a page remember.
  const themes = ["auto", "light", "dark"];
  const remembered = () => { try { return localStorage.getItem("lagbench-theme"); } catch { return null; } };
  const remember = (theme) => { try { localStorage.setItem("lagbench-theme", theme); } catch { /* then not */ } };
  const button = document.getElementById("theme");
  const apply = (theme) => {
    if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  let theme = themes.includes(remembered()) ? remembered() : "auto";
  apply(theme);
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    apply(theme);
    remember(theme);
  });

  // Tables: a line is {entries: [[text, small, value, tone], ...], row: its element or null until it is shown}.
  const read = (row) => [...row.cells].map((cell) => {
    const small = cell.querySelector("small");
    const text = small ? cell.textContent.slice(0, -small.textContent.length) : cell.textContent;
    return [text, small ? small.textContent : "", cell.dataset.v === undefined ? null : Number(cell.dataset.v)];
  });
  const written = (entries, kinds) => {
    const row = make("tr");
    entries.forEach((entry, i) => {
      const [text, small, , tone] = entry;
      const cell = make(i ? "td" : "th", "", { className: [kinds[i], tone || ""].join(" ").trim() });
      if (!i) cell.scope = "row";
      cell.append(kinds[i] === "command" ? make("code", text) : text);
      if (small) cell.append(make("small", small));
      row.append(cell);
    });
    return row;
  };
  const finish = (row) => {  // what only a page with a script has: copying, and long texts that scroll
    for (const cell of row.querySelectorAll("td.command")) {
      if (cell.textContent) cell.append(make("button", "copy", { type: "button", className: "copy", ariaLabel: "Copy the command" }));
    }
    for (const cell of row.querySelectorAll("#samples td.long")) {
      if (cell.textContent.length < 400) continue;
      const inner = make("div", "", { className: "scrolled", tabIndex: 0 });
      inner.append(...cell.childNodes);
      cell.append(inner);
    }
    return row;
  };
  const compare = (column) => (a, b) => {
    const [x, y] = [a.entries[column], b.entries[column]];
    const [p, q] = [x[2] ?? null, y[2] ?? null];
    if (p !== null && q !== null) return p - q;
    if (p !== null || q !== null) return p === null ? 1 : -1;
    return collator.compare(x[0], y[0]);
  };

  for (const table of document.querySelectorAll(".table")) {
    const heads = [...table.querySelectorAll("thead th")];
    const body = table.querySelector("tbody");
    const kinds = heads.map((head) => head.className);
    const data = table.querySelector('script[type="application/json"]');
    const size = data ? Number(table.dataset.page) : Infinity;
    const full = (entry) => (Array.isArray(entry) ? entry : [entry]);
    const lines = data
      ? JSON.parse(data.textContent).map((entries) => ({ entries: entries.map(full), row: null }))
      : [...body.rows].map((row) => ({ entries: read(finish(row)), row }));
    if (!table.classList.contains("sortable") || lines.length < 2) continue;
    const searched = (line) => (line.text ??= line.entries.map((entry) => `${entry[0]} ${entry[1] || ""}`).join(" ").toLowerCase());
    let sorted = lines;
    let page = 0;

    const controls = make("div", "", { className: "controls" });
    const selects = [];
    const search = make("input", "", { type: "search" });
    const status = make("p", "", { className: "count" });
    status.setAttribute("role", "status");
    const turn = (label, by) => {
      const step = make("button", label, { type: "button" });
      step.addEventListener("click", () => { page += by; show(); });
      return step;
    };
    const [back, next] = [turn("Previous", -1), turn("Next", 1)];

    const show = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const kept = sorted.filter((line) =>
        selects.every(([column, select]) => !select.value || line.entries[column][0] === select.value.slice(1)) &&
        words.every((word) => searched(line).includes(word)));
      const pages = Math.max(1, Math.ceil(kept.length / size));
      page = Math.min(Math.max(page, 0), pages - 1);
      const first = size === Infinity ? 0 : page * size;
      const shown = kept.slice(first, first + size);
      body.replaceChildren(...shown.map((line) => (line.row ??= finish(written(line.entries, kinds)))));
      back.disabled = page === 0;
      next.disabled = page === pages - 1;
      const part = shown.length < kept.length ? `${count(first + 1)} to ${count(first + shown.length)} of ` : "";
      status.textContent = `${part}${count(kept.length)}${kept.length < lines.length ? ` of ${count(lines.length)}` : ""} lines`;
    };

    heads.forEach((head, column) => {
      if (head.classList.contains("bar")) return;
      const sort = make("button", head.textContent, { type: "button" });
      head.replaceChildren(sort);
      sort.addEventListener("click", () => {
        const down = head.ariaSort ? head.ariaSort === "ascending" : !head.className;
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const [known, unknown] = [[], []];
        const numeric = lines.some((line) => line.entries[column][2] != null);
        for (const line of lines) (numeric && line.entries[column][2] == null ? unknown : known).push(line);
        known.sort(compare(column));
        if (down) known.reverse();
        sorted = [...known, ...unknown];
        page = 0;
        show();
      });
      if (head.dataset.select === undefined) return;
      const named = new Map(lines.map((line) => [line.entries[column][0], line]));
      const names = [...named.values()].sort(compare(column)).map((line) => line.entries[column][0]);
      if (names.length < 2) return;
      const select = make("select");
      select.append(make("option", "all", { value: "" }), ...names.map((name) => make("option", name || "none", { value: `=${name}` })));
      selects.push([column, select]);
      const label = make("label", sort.textContent);
      label.append(select);
      controls.append(label);
      select.addEventListener("change", () => { page = 0; show(); });
    });
    if (lines.length > 5) {
      const label = make("label", "containing");
      label.append(search);
      controls.append(label);
      let waiting;
      search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => { page = 0; show(); }, 80); });
      const pager = make("div", "", { className: "pager" });
      pager.append(status);
      if (data) pager.append(back, next);
      controls.append(pager);
      table.prepend(controls);
    }
    show();
  }

  document.addEventListener("click", async (event) => {
    const copy = event.target.closest(".copy");
    if (!copy) return;
    const code = copy.previousElementSibling;
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {  // no clipboard for this page: the old way
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    copy.textContent = "copied";
    setTimeout(() => { copy.textContent = "copy"; }, 1500);
  });

  // Charts: one choice at a time, and one line by itself.
  for (const choices of document.querySelectorAll(".choices")) {
    const all = [...choices.children];
    if (all.length < 2) continue;
    const select = make("select");
    select.append(...all.map((choice, i) => make("option", choice.dataset.name, { value: i })));
    const show = () => all.forEach((choice, i) => { choice.hidden = i !== Number(select.value); });
    select.addEventListener("change", show);
    const label = make("label", choices.dataset.by);
    label.append(select);
    const controls = make("div", "", { className: "controls" });
    controls.append(label);
    choices.before(controls);
    choices.classList.add("picked");
    show();
  }
  for (const key of document.querySelectorAll(".key")) {
    const drawing = key.parentElement.querySelector("svg[role=img]");
    if (key.children.length < 2) continue;
    for (const item of key.children) {
      const only = make("button", "", { type: "button", ariaPressed: "false", title: "Show this line alone" });
      only.append(...item.childNodes);
      item.append(only);
      only.addEventListener("click", () => {
        const alone = only.ariaPressed !== "true";
        for (const other of key.querySelectorAll("button")) other.ariaPressed = String(alone && other === only);
        if (alone) drawing.dataset.only = item.dataset.style; else delete drawing.dataset.only;
      });
    }
  }
})();
