[sum(views), sum(likes), sum(messages_received), sum(messages_sent), sum(users_received), sum(users_sent)]
