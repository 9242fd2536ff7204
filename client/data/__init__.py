"""The owner's own data: tables held against a schema before they are kept. The sandbox keeps them (`sandbox.data`)."""
