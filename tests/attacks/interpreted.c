// A program whose ELF interpreter is /proc/self/exe: see the test that compiles it.
int main(void) { return 0; }
