"""Problem sets from outside: the rows of files and hubs, how many there have to be, and what they hold."""

from .contents import SPLITS, by_question, data_digest, overlaps, question_key
from .read import read_rows
from .rows import Row, plain_number

__all__ = ["SPLITS", "Row", "by_question", "data_digest", "overlaps", "plain_number", "question_key", "read_rows"]
