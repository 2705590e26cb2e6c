"""Tasks: what LAPD knows of one, which there are, loading, checking, and scoring stored responses with one."""
