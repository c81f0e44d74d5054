import { parseCookie, type SetCookie, stringifySetCookie } from 'cookie'
import { sign, unsign } from 'cookie-signature'
import { invalidOption } from '../errors.js'
import { isError } from '../tools/is-error.js'
import {
  checkOptions,
  type Kind,
  kindOf,
  milliseconds,
  oneOf,
  required,
  secret,
  trueOrFalse,
} from '../tools/options.js'

/** A session's cookie, as an application describes it. It is always `HttpOnly`: no script of a page has use for it. */
export interface CookieOptions {
  /**
   * The keys by which the cookie is signed, each a text of at least 32 characters: the first one signs, and all of them
   * are accepted. To change the key, put the new one before the old one; a visitor whose cookie is signed by an older key
   * is sent a new cookie. A key that is left out makes the cookies that only it has signed worthless. 1 to 16 keys, all
   * different.
   */
  readonly keys: string | readonly string[]

  /**
   * The name. One that begins with `__Host-` makes browsers refuse a cookie that another host of the domain has set, or
   * that came without TLS. It needs `secure`, the path `/` and no `domain`. @default 'sid'
   */
  readonly name?: string | undefined

  /** The domain whose hosts are all sent the cookie. @default none: only the host that has set it */
  readonly domain?: string | undefined

  /** Below which path the browser sends it; it begins with `/`. @default '/' */
  readonly path?: string | undefined

  /** Whether the browser sends it over TLS alone. `false` is for a development server without TLS. @default true */
  readonly secure?: boolean | undefined

  /**
   * Whether the browser sends it with requests that other sites make: `strict` with none of them, `lax` when a visitor
   * follows a link, `none` with all, which needs `secure`. @default 'lax'
   */
  readonly sameSite?: 'strict' | 'lax' | 'none' | undefined

  /** Keeps a cookie apart for each site that embeds this one (CHIPS). It needs `secure`. @default false */
  readonly partitioned?: boolean | undefined

  /**
   * How long the cookie lives after it was set, in ms from 1_000 on; the browser is told whole seconds. The session itself
   * then lives so long untouched, up to the store's `absoluteTtlMs`. @default the cookie ends with the browser, and the
   * session as the store's options say
   */
  readonly maxAgeMs?: number | undefined
}

/** What a browser has sent under the cookie's name. */
export type ReceivedCookie =
  /** It sent none. */
  | { readonly state: 'absent' }
  /** No key of ours has signed it. */
  | { readonly state: 'forged' }
  /** Signed by one of the keys, by the newest or by an older one. */
  | { readonly state: 'signed'; readonly id: string; readonly isByNewestKey: boolean }

/** A session's cookie, ready for use. It decides nothing of the session. */
export interface SessionCookie {
  /** In ms; `undefined` for a cookie that ends with the browser. */
  readonly maxAgeMs: number | undefined
  /** What a `Cookie` header has. `null` and `undefined` stand for a request without one. */
  read(header: string | null | undefined): ReceivedCookie
  /** The value of a `Set-Cookie` header that gives the browser this id. */
  setting(id: string): string
  /** The value of a `Set-Cookie` header that takes the cookie away from the browser. */
  clearing(): string
}

/** @throws SessionStoreError `E_CONFIG` */
export const sessionCookie = (options: CookieOptions): SessionCookie => {
  checkOptions('cookie', options, KINDS, '{ keys }', 'cookie.')
  const { name = 'sid', path = '/', secure: isSecure = true, sameSite = 'lax', partitioned = false } = options
  const { domain, maxAgeMs } = options
  const keys = typeof options.keys === 'string' ? [options.keys] : [...options.keys]
  const attributes = {
    name,
    path,
    secure: isSecure,
    sameSite,
    partitioned,
    ...(domain === undefined ? {} : { domain }),
  }
  refuseWhatBrowsersRefuse(attributes)
  const lifetime = maxAgeMs === undefined ? {} : { maxAge: Math.ceil(maxAgeMs / 1_000) }
  const [newest = ''] = keys
  return {
    maxAgeMs,
    read: (header) => {
      const value = parseCookie(header ?? '')[name]
      if (value === undefined) return { state: 'absent' }
      for (const key of keys) {
        const id = unsign(value, key)
        if (id !== false) return { state: 'signed', id, isByNewestKey: key === newest }
      }
      return { state: 'forged' }
    },
    setting: (id) => stringifySetCookie({ ...attributes, ...lifetime, httpOnly: true, value: sign(id, newest) }),
    clearing: () => stringifySetCookie({ ...attributes, httpOnly: true, value: '', maxAge: 0, expires: new Date(0) }),
  }
}

const LEAST_KEY_LENGTH = 32
const MOST_KEYS = 16
const RECIPE = '`openssl rand -base64 32` makes one'
const WANTED_KEYS = `a text of at least ${LEAST_KEY_LENGTH} characters, or 1 to ${MOST_KEYS} different ones`

const listOf = (keys: unknown): readonly unknown[] => (Array.isArray(keys) ? keys : [keys])

const isKey = (key: unknown): boolean => typeof key === 'string' && key.length >= LEAST_KEY_LENGTH

const areKeys = (keys: readonly unknown[]): boolean =>
  keys.length >= 1 && keys.length <= MOST_KEYS && keys.every(isKey) && new Set(keys).size === keys.length

const cureOfKeys = (given: unknown): string => {
  const keys = listOf(given)
  const short = keys.findIndex((key) => typeof key === 'string' && key.length < LEAST_KEY_LENGTH)
  if (short >= 0) return `key ${short + 1} is too short; ${RECIPE}`
  const other = keys.findIndex((key) => typeof key !== 'string')
  if (other >= 0) return `key ${other + 1} is no text (is its environment variable set?); ${RECIPE}`
  return RECIPE
}

/** Whether the library that writes cookies would write this attribute. It throws over what no cookie can have. */
const isWritable = (attribute: Partial<SetCookie>): boolean => {
  try {
    stringifySetCookie({ name: 'sid', value: '', ...attribute })
    return true
  } catch (error) {
    if (isError(error)) return false
    throw error
  }
}

const isFilledText = (value: unknown): value is string => typeof value === 'string' && value !== ''

const aName: Kind<string> = kindOf(
  'a name of a cookie: letters, digits and signs such as `-` and `_`',
  (value) => isFilledText(value) && isWritable({ name: value }),
)

const aDomain: Kind<string> = kindOf(
  'a domain such as `example.com`',
  (value) => isFilledText(value) && isWritable({ domain: value }),
  () => 'leave it out for a cookie of this host alone',
)

const aPath: Kind<string> = kindOf(
  'a path that begins with `/`',
  (value) => isFilledText(value) && value.startsWith('/') && isWritable({ path: value }),
)

const KINDS = {
  keys: {
    ...required(secret(kindOf<string | readonly string[]>(WANTED_KEYS, (keys) => areKeys(listOf(keys)), cureOfKeys))),
  },
  name: aName,
  domain: aDomain,
  path: aPath,
  secure: trueOrFalse,
  sameSite: oneOf('strict', 'lax', 'none'),
  partitioned: trueOrFalse,
  // Browsers keep no cookie longer than 400 days, and some refuse a number that is much larger.
  maxAgeMs: milliseconds(1_000, 400 * 86_400_000),
} as const

type Attributes = Pick<SetCookie, 'domain'> &
  Required<Pick<SetCookie, 'name' | 'path' | 'secure' | 'sameSite' | 'partitioned'>>

/** A browser drops such a cookie without a word, so that each login would be followed by the login page. */
const refuseWhatBrowsersRefuse = ({
  name,
  path,
  domain,
  secure: isSecure,
  sameSite,
  partitioned,
}: Attributes): void => {
  const refuse = (option: string, expected: string, got: unknown, cure: string): never => {
    throw invalidOption(`cookie.${option}`, expected, got, { cure })
  }
  if (!isSecure) {
    const cure = 'set `secure: true`, or change this option as long as you develop without TLS'
    if (/^__(?:host|secure|http)-/i.test(name)) refuse('name', 'without a prefix where `secure` is false', name, cure)
    if (sameSite === 'none') refuse('sameSite', "'lax' or 'strict' where `secure` is false", sameSite, cure)
    if (partitioned) refuse('partitioned', 'false where `secure` is false', partitioned, cure)
  }
  if (!/^__host-/i.test(name)) return
  const cure = 'leave it out, or choose a name that does not begin with `__Host-`'
  if (domain !== undefined) refuse('domain', 'left out, as the name begins with `__Host-`', domain, cure)
  if (path !== '/') refuse('path', '`/`, as the name begins with `__Host-`', path, cure)
}
