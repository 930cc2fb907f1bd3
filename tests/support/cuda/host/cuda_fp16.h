// Halves are in shim.h.
