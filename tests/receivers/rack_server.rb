# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors

# Serves the Rack application of a file on loopback: one request for each connection.
require "socket"
require "stringio"
require File.expand_path(ARGV.fetch(0))

$stdout.sync = true
application = Receiver.new
server = TCPServer.new("127.0.0.1", Integer(ENV.fetch("PORT")))
loop do
  client = server.accept
  request_line = client.gets
  if request_line.nil?
    client.close
    next
  end
  method, path = request_line.split
  env = { "REQUEST_METHOD" => method, "PATH_INFO" => path }
  while (line = client.gets.chomp) != ""
    name, value = line.split(":", 2)
    env["HTTP_#{name.upcase.tr("-", "_")}"] = value.strip
  end
  size = env.delete("HTTP_CONTENT_LENGTH").to_i
  env["rack.input"] = StringIO.new(client.read(size))
  status, = application.call(env)
  client.write("HTTP/1.1 #{status} Answer\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
  client.close
end
