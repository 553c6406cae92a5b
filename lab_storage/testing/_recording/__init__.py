"""What `lab_storage.testing.recording` is made of; nothing here is public."""
