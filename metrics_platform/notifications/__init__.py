"""Messages to people: what happened becomes words and pictures, and leaves by Telegram, Slack or e-mail, once."""
