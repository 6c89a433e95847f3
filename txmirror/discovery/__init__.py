"""Discovery for programs: the live instances of a service, and ways to pick one of them."""
