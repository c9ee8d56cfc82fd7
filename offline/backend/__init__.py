"""What a stack is on disk: Pulumi's file backend, its checkpoints and secrets, and the stack's settings files."""
