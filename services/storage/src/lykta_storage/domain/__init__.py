"""Pure decisions about footage: spans of time, coverage, time lines, grants, deletion and the hour tree."""
