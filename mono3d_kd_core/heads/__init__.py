"""Dense prediction heads shared by teachers and students."""
