"""What all nodes are made of: lifecycle, worker thread, account of frames, diagnostics, process."""
