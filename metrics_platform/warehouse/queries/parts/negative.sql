countIf(least(views, likes, messages_received, messages_sent, users_received, users_sent) < 0)
