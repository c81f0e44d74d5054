/**
 * What a server is that answers something else than Memcached's binary protocol. Nothing that it sent is repeated in
 * these words: it may be anything, also what somebody else stored there.
 */

const NOT_BINARY = "it answers, but not in Memcached's binary protocol"

interface Kind {
  readonly isBegunBy: (bytes: Buffer) => boolean
  readonly words: string
}

const text =
  (pattern: RegExp) =>
  (bytes: Buffer): boolean =>
    pattern.test(bytes.toString('latin1'))

/** An alert or a handshake, as TLS sends them from its version 1.0 on. */
const isTls = (bytes: Buffer): boolean => (bytes[0] === 0x15 || bytes[0] === 0x16) && bytes[1] === 3

/** The first packet of a connection, of at most 64 KiB, with a greeting (10) or an error (255) in it. */
const isMysql = (bytes: Buffer): boolean => bytes[2] === 0 && bytes[3] === 0 && (bytes[4] === 10 || bytes[4] === 255)

/** The first that fits counts. */
const KINDS: readonly Kind[] = [
  {
    isBegunBy: text(/^ERROR Too many open connections/),
    words: 'it takes no more connections: raise its limit (option -c), or open fewer',
  },
  {
    isBegunBy: text(/^(?:ERROR|CLIENT_ERROR|SERVER_ERROR|VERSION|END)\b/),
    words: `${NOT_BINARY}: it looks like a Memcached, or a proxy before one, that speaks the text protocol alone. Start it without \`-B ascii\` and \`-Y\`, or name the Memcached servers behind it`,
  },
  {
    isBegunBy: text(/^-(?:ERR|NOAUTH|WRONGPASS|NOPERM|DENIED|MOVED|LOADING|MASTERDOWN|BUSY)\b/),
    words: `${NOT_BINARY}: it looks like a Redis, or a server that speaks its protocol, which cannot take Memcached's place`,
  },
  {
    isBegunBy: text(/^(?:HTTP\/\d|\s*<[!?a-zA-Z])/),
    words: `${NOT_BINARY}: it looks like an HTTP server. Is the port right?`,
  },
  {
    isBegunBy: isTls,
    words: `${NOT_BINARY}: it speaks TLS. Give \`tls: true\`, or \`memcacheds://\` before its address`,
  },
  { isBegunBy: text(/^SSH-/), words: `${NOT_BINARY}: it looks like an SSH server. Is the port right?` },
  {
    isBegunBy: text(/^(?:[245]\d\d[ -]|\+OK|\* (?:OK|PREAUTH|BYE))/),
    words: `${NOT_BINARY}: it looks like a mail or FTP server. Is the port right?`,
  },
  {
    isBegunBy: isMysql,
    words: `${NOT_BINARY}: it looks like a MySQL or MariaDB. Is the port right?`,
  },
]

const LOOKED_AT_BYTES = 64

/** Says what a server seems to be by the first bytes that it sent, which are no answer, and what to do about it. */
export const strangerOf = (bytes: Uint8Array): string => {
  const beginning = Buffer.from(bytes.subarray(0, LOOKED_AT_BYTES))
  return (
    KINDS.find(({ isBegunBy }) => isBegunBy(beginning))?.words ??
    `${NOT_BINARY}. Is the port right, and is it a Memcached that speaks that protocol?`
  )
}

/** A server that closed or reset the connection before it had sent anything. */
export const HUNG_UP =
  'it hung up without a word: it wants TLS (`tls: true`, or `memcacheds://` before its address), or is no Memcached, or is just starting or stopping'
