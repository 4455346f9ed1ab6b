"""One pass of a module on the meta device, and what is recorded on the way."""
