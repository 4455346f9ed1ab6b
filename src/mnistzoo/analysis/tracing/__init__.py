"""One pass of a module on the meta device, and what it records."""
