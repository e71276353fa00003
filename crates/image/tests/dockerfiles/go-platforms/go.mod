module example.com/platforms
