"""Fixtures for real servers, suites written once, fault tools. Development only."""
