/**
 * Network options of a container.
 *
 * @module
 */

/** The options of a container that concern its network. */
export interface ContainerNetworkOptions {
  /**
   * Its networks: `none`, a network namespace with `lo` only; `host`, the host's own; `container:NAME`, another
   * container's; or the names of one or more bridged networks, each as `NAME[:ip=ADDRESS,alias=NAME…]`.
   * Default: `$SAUROPOD_NETWORK`, else `sauropod0`, which is made when it is first needed and is also called `bridge`.
   */
  network?: string | readonly string[];
  /** Names beside its own by which its siblings on all its networks find it. */
  networkAliases?: readonly string[];
  /** Its address on its first network as `ADDRESS[/PREFIX]`. Default: the first that is free. */
  containerAddress?: string;
  /** The address of the host on `sauropod0` as `ADDRESS/PREFIX`; replaces the one there. Default: `10.10.10.1/24`. */
  bridgeAddress?: string;
  /** Ports of the host that lead to ports of the container: `[IP:][HOST:]CONTAINER[/tcp|udp]`, ranges as `A-B`. */
  publish?: readonly string[];
  /** Ports for `publishAll`, as `PORT[/tcp|udp]`. */
  expose?: readonly string[];
  /** Publish every exposed port on a free port of the host. Default: false. */
  publishAll?: boolean;
  /** Addresses of name servers. Default: the host's. */
  dns?: readonly string[];
  /** Domains in which to look for names. Default: the host's. */
  dnsSearch?: readonly string[];
  /** Options of resolv.conf(5). Default: the host's. */
  dnsOptions?: readonly string[];
  /** Lines for `/etc/hosts` as `NAME:ADDRESS`; the address `host-gateway` is the host's on its first network. */
  addHosts?: readonly string[];
  /** Bits a second that each of its interfaces may send at most. Default: no limit. */
  netRate?: number;
}
