// The same from C++: a text is collected.
#include <attar.h>

#include <iostream>
#include <memory>
#include <string>

int main(int argc, char** argv) {
  if (argc != 3) return 1;
  attar_model* model = nullptr;
  if (attar_model_open(argv[1], nullptr, &model) != ATTAR_OK) {
    std::cerr << attar_last_error();
    return 1;
  }
  const std::unique_ptr<attar_model, decltype(&attar_model_free)> owner(model, attar_model_free);
  attar_session* session = nullptr;
  if (attar_session_new(model, &session) != ATTAR_OK) return 1;
  const std::unique_ptr<attar_session, decltype(&attar_session_free)> text(session,
                                                                           attar_session_free);
  std::string written;
  const auto collect = [](const char* piece, size_t length, void* user) {
    static_cast<std::string*>(user)->append(piece, length);
    return 0;
  };
  attar_sampling sampling{};
  sampling.max_new_tokens = 64;
  if (attar_session_prompt(session, argv[2]) != ATTAR_OK ||
      attar_session_generate(session, &sampling, collect, &written, nullptr) != ATTAR_OK) {
    std::cerr << attar_last_error();
    return 1;
  }
  std::cout << written;
}
