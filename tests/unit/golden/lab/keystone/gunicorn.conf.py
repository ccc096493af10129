wsgi_app = "keystone.server.wsgi:initialize_public_application()"
bind = "127.0.0.1:5000"
workers = 2
threads = 4
timeout = 300
