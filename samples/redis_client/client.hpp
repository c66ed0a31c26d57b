#pragma once

// client: a Redis server that any number of routines use over one connection.

#include <weft/io/endpoint.hpp>
#include <weft/weft.hpp>

#include <string>
#include <vector>

#include "resp.hpp"

class redis_client {
 public:
  /// Connects when it is first called, and again after the connection was lost.
  explicit redis_client(const weft::ip_endpoint& server);
  redis_client(const redis_client&) = delete;
  redis_client& operator=(const redis_client&) = delete;
  ~redis_client();

  /// Says a command, of one word or more, behind those that were said before, and does not wait for its
  /// answer, which may be an error of the server's: `co_await answer.recv()` does.  Nothing is received, the
  /// channel is closed, if the connection was lost or could not be made; nobody knows then if the server has
  /// done it.
  weft::routine<weft::channel_receiver<reply>> say(std::vector<std::string> command);

 private:
  /// Whoever drops `answered` without an answer says that there is none.
  struct request {
    std::string bytes;
    weft::channel_sender<reply> answered;
  };

  static weft::routine<> keep_connected(weft::ip_endpoint server, weft::channel<request> requests);
  static weft::routine<> talk(weft::ip_endpoint server, weft::channel<request>& requests, request first);

  weft::channel<request> requests_;
};
