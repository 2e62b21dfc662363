"""The contracts of what comes in: the event envelope's JSON Schema, and the table of event names."""
