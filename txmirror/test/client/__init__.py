"""The client: its parts one by one, the whole against a scripted server, and the contract that every client keeps."""
