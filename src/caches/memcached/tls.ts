/** What is asked of a connection that is encrypted, and what its failures mean. */
import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { type ConnectionOptions, createSecureContext } from 'node:tls'
import { areOptions, codeIn, invalidOption, type SessionStoreError } from '../../errors.js'
import { aText, checkOptions, type Kind, type Kinds, kindOf, oneOf, secret } from '../../tools/options.js'
import { causeWithoutCertificate, type TlsTrouble, tlsTroubleOf } from '../../tools/tls-trouble.js'
import type { ServerAddress, TcpTarget } from './servers.js'

/** A certificate or a key in PEM: the contents of the file, and not its path. */
export type Pem = string | Uint8Array

/**
 * How the servers prove who they are, and how this program does. What may be a function is asked at each new connection,
 * and gives its answer at once, not a promise: so a certificate that is renewed under a running program is used from the
 * next connection on. While a function throws or gives something else, no connection can be made; the error says so.
 */
export interface MemcachedTls {
  /**
   * The authorities that are trusted, in place of those that Node trusts (with `NODE_EXTRA_CA_CERTS` more of them). A server
   * whose certificate signs itself is trusted by giving that certificate.
   */
  readonly ca?: Pem | readonly Pem[] | (() => Pem | readonly Pem[]) | undefined

  /** The certificate of this program, with those between it and its authority, for servers that ask for one. Together with `key`. */
  readonly cert?: Pem | (() => Pem) | undefined

  /** The private key of `cert`. */
  readonly key?: Pem | (() => Pem) | undefined

  /** What `key` is encrypted with. @default none */
  readonly passphrase?: string | (() => string) | undefined

  /**
   * The one name that the certificates of all servers must be for, which is also told to them (SNI). @default for each
   * server the host by which it is listed; an IP address has to stand in the certificate as one, and is not told
   */
  readonly servername?: string | undefined

  /** The oldest version of TLS that is spoken. @default 'TLSv1.2' */
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined

  /** The ciphers, as OpenSSL lists them. @default those of Node */
  readonly ciphers?: string | undefined

  /**
   * `false` takes any server for the right one, so that whoever stands in between can read and change everything. Neither
   * the environment variable NODE_TLS_REJECT_UNAUTHORIZED nor anything else does that. @default true
   */
  readonly rejectUnauthorized?: boolean | undefined
}

const isPem = (value: unknown): value is Pem =>
  (typeof value === 'string' || value instanceof Uint8Array) && Buffer.from(value).includes('-----BEGIN ')

const isPemOrFunction = (value: unknown): boolean => isPem(value) || typeof value === 'function'

const pathForContents = (value: unknown): string | undefined =>
  typeof value === 'string' || value instanceof Uint8Array
    ? 'give the contents of the file (`readFileSync(path)`), or a function that reads it at each connection'
    : undefined

const pem = <Value>(what: string, accepts: (value: unknown) => boolean): Kind<Value> =>
  secret(kindOf(`${what} in PEM, or a function that gives it`, accepts, pathForContents))

const arePems = (value: unknown): boolean => Array.isArray(value) && value.length > 0 && value.every(isPem)

const KINDS: Kinds<MemcachedTls> = {
  ca: pem('the certificate of an authority, or a list of them,', (value) => isPemOrFunction(value) || arePems(value)),
  cert: pem('a certificate', isPemOrFunction),
  key: pem('a private key', isPemOrFunction),
  passphrase: secret(
    kindOf('a text that is not empty, or a function that gives it', (value) =>
      typeof value === 'string' ? value !== '' : typeof value === 'function',
    ),
  ),
  servername: kindOf(
    'the name of a host',
    (value) => typeof value === 'string' && /^[A-Za-z0-9._-]+$/.test(value) && isIP(value) === 0,
    (value) =>
      typeof value === 'string' && isIP(value) !== 0
        ? 'list the server by its address, and leave this out'
        : 'it is the name that stands in the certificates, without a port',
  ),
  minVersion: oneOf('TLSv1.2', 'TLSv1.3'),
  ciphers: aText('a list of ciphers such as `ECDHE-RSA-AES128-GCM-SHA256`'),
  rejectUnauthorized: kindOf('true or false', (value) => typeof value === 'boolean'),
}

/** What the option `tls` may be. */
export const TLS_KIND: Kind<boolean | MemcachedTls> = secret(
  kindOf(
    'true, false, or an object such as `{ ca }`',
    (value) => typeof value === 'boolean' || areOptions(value),
    (value) => (value === 'true' || value === 'false' ? 'give it without quotes' : undefined),
  ),
)

/**
 * How the connections to these servers are encrypted; `undefined` where they are not. A `memcacheds://` in the list asks
 * for it as `tls: true` does.
 *
 * @throws SessionStoreError `E_CONFIG`
 */
export const tlsOf = (
  tls: boolean | MemcachedTls | undefined,
  servers: readonly ServerAddress[],
): MemcachedTls | undefined => {
  const listed = new Set(servers.map(({ scheme }) => scheme))
  if (listed.has('memcacheds') && tls === false)
    throw invalidOption('tls', 'true or left out, as a server is listed with `memcacheds://`', tls)
  if (listed.has('memcacheds') && listed.has('memcached'))
    throw invalidOption('servers', 'servers that speak TLS all or none', servers, {
      secret: true,
      cure: 'begin each with `memcacheds://`, or none of them',
    })
  if (tls === false || (tls === undefined && !listed.has('memcacheds'))) return undefined
  if (servers.some(({ target }) => 'path' in target))
    throw invalidOption('servers', 'hosts and ports where TLS is asked for', servers, {
      secret: true,
      cure: 'what passes through a unix socket never leaves the machine, and Memcached speaks no TLS there; leave out `tls`, or the unix socket',
    })
  return typeof tls === 'object' ? checked(tls) : {}
}

const checked = (given: MemcachedTls): MemcachedTls => {
  checkOptions('tls', given, KINDS, '{ ca }', 'tls.')
  const tls: MemcachedTls = { ...given }
  if ((tls.cert === undefined) !== (tls.key === undefined)) {
    const missing = tls.cert === undefined ? 'cert' : 'key'
    throw invalidOption(`tls.${missing}`, 'given where the other of `tls.cert` and `tls.key` is', undefined)
  }
  if (tls.passphrase !== undefined && tls.key === undefined)
    throw invalidOption('tls.key', 'given where `tls.passphrase` is', undefined)
  refuseUseless(tls)
  return Object.freeze(tls)
}

/** What is there already is tried now, so that a key which does not belong to its certificate is found at the start. */
const refuseUseless = (tls: MemcachedTls): void => {
  if (Object.values(tls).some((value) => typeof value === 'function')) return
  try {
    createSecureContext(contextOptions(tls))
  } catch (cause) {
    throw useless(cause)
  }
}

const useless = (cause: unknown): SessionStoreError =>
  invalidOption(
    'tls',
    `certificates, a key, a passphrase and ciphers that can be used together (${codeIn(cause) ?? 'they cannot be read'})`,
    {},
    { secret: true },
  )

const contextOptions = (tls: MemcachedTls): ConnectionOptions => {
  const { minVersion = 'TLSv1.2', ciphers } = tls
  const ca = materialOf('ca', tls.ca)
  const cert = materialOf('cert', tls.cert)
  const key = materialOf('key', tls.key)
  const passphrase = materialOf('passphrase', tls.passphrase)
  return {
    minVersion,
    ...(ciphers === undefined ? {} : { ciphers }),
    ...(ca === undefined ? {} : { ca: (isPem(ca) ? [ca] : ca).map(authorityOf) }),
    ...(cert === undefined ? {} : { cert: bytesOf(cert) }),
    ...(key === undefined ? {} : { key: bytesOf(key) }),
    ...(passphrase === undefined ? {} : { passphrase }),
  }
}

/** Node itself passes over what is no certificate, and trusts nobody then. */
const authorityOf = (value: Pem): Buffer => {
  const bytes = bytesOf(value)
  new X509Certificate(bytes)
  return bytes
}

const bytesOf = (value: Pem): Buffer => Buffer.from(value)

/** What is given, or what the function gives now. */
const materialOf = <Material>(
  name: 'ca' | 'cert' | 'key' | 'passphrase',
  given: Material | (() => Material) | undefined,
): Material | undefined => {
  if (typeof given !== 'function') return given
  let value: unknown
  try {
    value = (given as () => unknown)()
  } catch (cause) {
    // Its words may quote what it has read.
    throw new TlsFault(`the function \`tls.${name}\` threw an error (${codeIn(cause) ?? 'without a code'})`, 'E_CONFIG')
  }
  if (KINDS[name].accepts(value) && typeof value !== 'function') return value as Material
  throw new TlsFault(
    `the function \`tls.${name}\` gave something else than ${name === 'passphrase' ? 'a text that is not empty' : 'the contents of a file in PEM'}; it is to give it at once, not a promise`,
    'E_CONFIG',
  )
}

/**
 * What `tls.connect` is given for one connection to that server. Functions are asked now.
 *
 * @throws TlsFault where one of them cannot be used
 */
export const connectionOptions = (tls: MemcachedTls, target: TcpTarget): ConnectionOptions => {
  const name = nameOf(tls, target)
  try {
    return {
      secureContext: createSecureContext(contextOptions(tls)),
      host: name,
      ...(isIP(name) === 0 ? { servername: name } : {}),
      // Given in any case: else an environment variable would decide.
      rejectUnauthorized: isVerified(tls),
    }
  } catch (cause) {
    if (cause instanceof TlsFault) throw cause
    throw new TlsFault(useless(cause).message, 'E_CONFIG')
  }
}

export const isVerified = (tls: MemcachedTls): boolean => tls.rejectUnauthorized !== false

/** The name that the server's certificate must be for. */
const nameOf = (tls: MemcachedTls, { host, name = host }: TcpTarget): string =>
  (tls.servername ?? name).replace(/\.$/, '')

/** A connection that could not be encrypted, or not as it is asked. Its message says what to do. */
export class TlsFault extends Error {
  /** Node's code of what went wrong, such as `CERT_HAS_EXPIRED`; `E_CONFIG` for what the options give. */
  readonly code: string

  constructor(message: string, code: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }

  override get name(): string {
    return 'TlsFault'
  }
}

const THIS_CERTIFICATE = 'give `tls.cert` and `tls.key`, by an authority that it trusts'

const always = (words: string) => (): string => words

/** What is said of each trouble, of a server that was to have a certificate for `name`. */
const WORDS: Readonly<Record<TlsTrouble, (name: string) => string>> = {
  'other name': (name) =>
    `it was to have a certificate for ${name}, and the one that it has is for other names: list it by a name that stands in its certificate, or give that name as \`tls.servername\``,
  expired: always('it was to have a certificate that is valid today, and the one that it has is expired: renew it'),
  'not valid yet': always(
    'it was to have a certificate that is valid today, and the validity of the one that it has is still to begin: look at the clocks of both machines',
  ),
  untrusted: always(
    'it was to have a certificate by an authority that is trusted here, and it has none: give the certificate of its authority as `tls.ca`',
  ),
  'wants a certificate': always(`it wants a certificate of this program: ${THIS_CERTIFICATE}`),
  'refuses our certificate': always(`it does not take the certificate of this program: ${THIS_CERTIFICATE}`),
  'broke off': always(
    `it broke the handshake off: it wants a certificate of this program (${THIS_CERTIFICATE}), or speaks none of the ciphers (\`tls.ciphers\`)`,
  ),
  'other version': always('it speaks only versions of TLS that are not spoken here: look at `tls.minVersion`'),
  'no TLS': always(
    'it was to speak TLS, and answered something else: leave out `tls` and `memcacheds://`, or give the port on which it speaks TLS',
  ),
}

/** The error of a connection in TLS, in words; the same error where it is none of TLS. */
export const inWords = (error: Error, tls: MemcachedTls, target: TcpTarget): Error => {
  const code = codeIn(error)
  if (code === undefined || SYSTEM_CODES.test(code)) return error
  const trouble = tlsTroubleOf(code)
  const words = trouble === undefined ? 'TLS failed' : WORDS[trouble](nameOf(tls, target))
  return new TlsFault(`${words} (${code})`, code, causeWithoutCertificate(error))
}

/** Errors of the socket under TLS. */
const SYSTEM_CODES = /^E(?!RR_)[A-Z0-9]+$/

/** How far a connection had come that the other side ended. */
type Stage = 'greeting' | 'handshake' | 'first request'

const BROKEN_OFF: Readonly<Record<Stage, string>> = {
  greeting:
    'it was to speak TLS, and hung up without a word: it speaks no TLS on this port, or is just starting or stopping',
  handshake: `it hung up in the middle of the handshake of TLS: it wants a certificate of this program (${THIS_CERTIFICATE}), or is just stopping`,
  'first request': `it hung up after the handshake of TLS: it wants a certificate of this program, or another one (${THIS_CERTIFICATE}), or is just stopping`,
}

/** The other side ended the connection before it had answered anything. */
export const brokenOff = (at: Stage, cause?: Error): TlsFault =>
  new TlsFault(BROKEN_OFF[at], codeIn(cause) ?? 'ECONNRESET', cause)
