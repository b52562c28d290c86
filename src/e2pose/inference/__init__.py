"""The belt: from pictures to poses."""
