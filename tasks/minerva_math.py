r"""Minerva's OCW problems: 272 from undergraduate courses at MIT in science and mathematics (made-up example).

    {"question": "A star of mass $M$ moves at speed $v$ ... Give its kinetic energy.", "answer": "\\frac{1}{2} M v^2"}

Answers are numbers with units taken off, decimals rounded by the course, expressions and equations in its symbols.

Source: arXiv 2206.14858 (OCWCourses)
Licence: none stated for the collection; courses CC BY-NC-SA 4.0 (MIT OpenCourseWare)
Rows: test 272
"""

from lagbench import Task, read_rows, task


@task
def minerva_math(*, data: str = "math-ai/minervamath") -> Task:
    """Undergraduate science and mathematics; `data` is a local folder or a hub id."""
    return Task(train=(), test=[row.problem() for row in read_rows(data, "minerva_math", "test", rows=272)])
