/* The container that holds a pod's namespaces open: sleep until told to end. */
#include <signal.h>
#include <unistd.h>

static void end(int number) { (void)number; _exit(0); }

int main(void) {
  signal(SIGINT, end);
  signal(SIGTERM, end);
  signal(SIGCHLD, SIG_IGN); /* as process 1 it would else collect zombies */
  for (;;) pause();
}
