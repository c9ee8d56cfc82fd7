"""Container images, assembled on this machine by following the Dockerfiles beside this file."""
