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

  /// Says one command, of one word or more, and waits for its answer, which may be an error of the server's.
  /// Commands that are called at the same time share a connection and do not wait for one another.
  ///
  /// \throws std::system_error  ENOTCONN: the connection was lost or could not be made, and nobody knows if
  ///                            the server has done it
  weft::routine<reply> call(std::vector<std::string> command);

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
