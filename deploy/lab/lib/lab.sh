# shellcheck shell=bash
# Everything of the lab's library, for scripts that have set LAB_HOME, REPO and LAB_KIND.
# shellcheck disable=SC2034,SC2153  # set here and in the topology, used in the parts

LAB_PREFIX=${GEMEL_LAB_PREFIX:-gml-}
LAB_DIR=${GEMEL_LAB_DIR:-/var/lib/gemel-lab}
LAB_RUN=${GEMEL_LAB_RUN:-/run/gemel-lab}
# shellcheck source=deploy/lab/topology
. "$LAB_HOME/topology"
# shellcheck source=deploy/lab/lib/ui.sh
. "$LAB_HOME/lib/ui.sh"
# shellcheck source=deploy/lab/lib/net.sh
. "$LAB_HOME/lib/net.sh"
# shellcheck source=deploy/lab/lib/pki.sh
. "$LAB_HOME/lib/pki.sh"
# shellcheck source=deploy/lab/lib/dns.sh
. "$LAB_HOME/lib/dns.sh"
# shellcheck source=deploy/lab/lib/redis.sh
. "$LAB_HOME/lib/redis.sh"
# shellcheck source=deploy/lab/lib/mail.sh
. "$LAB_HOME/lib/mail.sh"
# shellcheck source=deploy/lab/lib/gemel.sh
. "$LAB_HOME/lib/gemel.sh"
# shellcheck source=deploy/lab/lib/hosts.sh
. "$LAB_HOME/lib/hosts.sh"
# shellcheck source=deploy/lab/lib/verbs.sh
. "$LAB_HOME/lib/verbs.sh"
