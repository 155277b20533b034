#include <attar.h>
#include <stdio.h>

static int print(const char* piece, size_t length, void* user) {
  return fwrite(piece, 1, length, (FILE*)user) != length; /* 0: go on */
}

int main(int argc, char** argv) {
  attar_model* model = NULL;
  attar_session* session = NULL;
  const attar_sampling sampling = {.max_new_tokens = 64}; /* the rest: greedy */
  if (argc != 3 || attar_model_open(argv[1], NULL, &model) || attar_session_new(model, &session) ||
      attar_session_prompt(session, argv[2]) ||
      attar_session_generate(session, &sampling, print, stdout, NULL)) {
    fputs(argc != 3 ? "usage: write MODEL PROMPT\n" : attar_last_error(), stderr);
    return 1;
  }
  attar_session_free(session);
  attar_model_free(model);
  return 0;
}
