/* gemel-spool: what can be done with a spool while no node uses it. */
#include <stdio.h>
#include <string.h>

#include "node/queue/salvage.h"

static const char usage[] = "usage: gemel-spool salvage DAMAGED NEW\n"
                            "\n"
                            "Writes every intact message of the spool in folder DAMAGED into a new one in "
                            "folder NEW, and names those\n"
                            "that are lost. DAMAGED is only read. Stop gemel-node first.\n"
                            "Exit codes: 0 all messages are saved; 1 it could not be done; 2 usage; 25 done, "
                            "and messages are lost.\n";

static void lost(void *owner, const struct queue_id *id)
{
    printf("damaged %s\n", id->s);
}

int main(int argc, char **argv)
{
    struct salvage_report r;
    char why[SPOOL_WHY_MAX] = "";
    if (argc == 2 && strcmp(argv[1], "--help") == 0) return fputs(usage, stdout) < 0;
    if (argc == 2 && strcmp(argv[1], "--version") == 0) return puts("gemel-spool " GEMEL_VERSION) < 0;
    if (argc != 4 || strcmp(argv[1], "salvage") != 0) {
        fputs(usage, stderr);
        return 2;
    }
    if (salvage_spool(argv[2], argv[3], lost, NULL, &r, why)) {
        fprintf(stderr, "gemel-spool: %s\n", why);
        return 1;
    }
    printf("found %zu, saved %zu, damaged %zu, hand-off ids %zu\n", r.found, r.saved, r.damaged, r.transfers);
    printf("To go on: mv %s %s.damaged && mv %s %s, with the owner and mode it had, then start gemel-node.\n",
           argv[2], argv[2], argv[3], argv[2]);
    return r.damaged ? 25 : 0;
}
