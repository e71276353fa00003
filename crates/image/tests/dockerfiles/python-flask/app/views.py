def index(): return "hello"
