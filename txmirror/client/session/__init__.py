"""One session after another, and the connections of each. It knows nothing of paths below a chroot, or of the client's methods."""
