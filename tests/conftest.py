"""What holds for all tests."""

import pytest


@pytest.fixture(autouse=True)
def small_edits_are_wanted(monkeypatch):
    """Let a stand-in's edit, of which nobody sees much, go without the warning of it; see tests/test_reach.py."""
    monkeypatch.setattr("flowedit.task.finish.warn_of_little", lambda *_: None)
