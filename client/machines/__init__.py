"""Many machines under one identity: trainings of a node on other machines of its owner. `backend` is where a node meets it."""
