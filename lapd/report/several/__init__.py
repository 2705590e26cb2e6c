"""Several runs beside each other: what differs between them, and their primary metrics on the tasks that they share."""
