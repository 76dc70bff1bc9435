"""Generated from proto/skiplease/v1 by generate_stubs.sh."""
