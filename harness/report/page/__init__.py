"""The report as one self-contained HTML page.

`page.to_html` makes it: numbers and foreign texts (`text`), tables (`table`, `tables`), colored ones (`grids`), charts
(`charts` draws, `plots` lays out, `figures` chooses), and a template with one style sheet and one script. No file
besides the page, no request; without the script everything but the later pages of long tables is there.
"""
