"""The matcher against conformance cases from outside."""
