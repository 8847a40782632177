"""The marks of the common SQL text, as psycopg2 wants them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gosip_py.store.marks import with_percent_marks


class MarksTests(SynchronousTestCase):
    def test_marks_outside_of_literals_only(self) -> None:
        for sql, expected in (
            ("SELECT ?, ?", "SELECT %s, %s"),
            ("SELECT '?', ?", "SELECT '?', %s"),
            ("SELECT 'it''s ?', ?", "SELECT 'it''s ?', %s"),
            ('SELECT "a?b""?" FROM t WHERE x = ?', 'SELECT "a?b""?" FROM t WHERE x = %s'),
            ("SELECT 1 -- why?\n, ?", "SELECT 1 -- why?\n, %s"),
            ("SELECT /* what? \n ? */ ?", "SELECT /* what? \n ? */ %s"),
            ("SELECT 5 % ?", "SELECT 5 %% %s"),
            ("x LIKE '%a?' AND y = ?", "x LIKE '%%a?' AND y = %s"),
        ):
            self.assertEqual(with_percent_marks(sql), expected)
