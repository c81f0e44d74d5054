/**
 * What may be said of a connection that failed. An error that pg hands on may be anybody's: the `password` function of the
 * application throws what the vault answered, and a check of the certificate what it likes. So only words are repeated
 * that are known not to hold anything.
 */

import { codeIn } from '../../errors.js'
import { isError } from '../../tools/is-error.js'

/** The application's own `password` function did not give one. Its error is the cause. */
class PasswordFailed extends Error {
  override get name(): string {
    return 'PasswordFailed'
  }
}

type Password = string | (() => string | Promise<string>)

/** The same, with its failure told from all others. */
export const tellingPassword = (password: Password): Password =>
  typeof password === 'string'
    ? password
    : async () => {
        try {
          return await password()
        } catch (cause) {
          throw new PasswordFailed('its `password` function failed; the cause of this error says how', { cause })
        }
      }

/** Of pg, pg-pool and pg-protocol, and of types.ts. */
const KNOWN: ReadonlySet<string> = new Set([
  'Cannot use a pool after calling end on the pool',
  'Client has encountered a connection error and is not queryable',
  'Client was closed and is not queryable',
  'Connection terminated',
  'Connection terminated due to connection timeout',
  'Connection terminated unexpectedly',
  'Password must be a string',
  'Query read timeout',
  'The server does not support SSL connections',
  'There was an error establishing an SSL connection',
  'timeout exceeded when trying to connect',
  'timeout expired',
  'the pool asks for binary values (`binary: true`), and pg hands those on damaged',
])

/** What pg says of a server that does not keep to the protocol, without what that server sent. */
const KNOWN_FORMS: readonly RegExp[] = [
  /^Received unexpected [a-zA-Z]{1,20} message from backend\.$/,
  /^received invalid response: [0-9a-f]{1,2}$/,
  /^Unknown authenticationOk message type \d{1,10}$/,
  /^SASL: Only mechanism\(s\) [A-Z0-9 a-z-]{1,80} are supported$/,
  /^SASL: Mechanism SCRAM-SHA-256-PLUS requires a certificate$/,
  /^SASL: SCRAM-SERVER-(?:FIRST|FINAL)-MESSAGE: (?:client|server|nonce|salt|iteration|invalid)[a-zA-Z0-9 -]{1,60}$/,
]

/** The code of a socket's error; else pg's own words, where they are known. */
export const networkReason = (raised: unknown): string => {
  if (!isError(raised)) return 'the connection failed'
  const { message } = raised
  if (raised instanceof PasswordFailed || KNOWN.has(message) || KNOWN_FORMS.some((form) => form.test(message)))
    return message
  return codeIn(raised) ?? 'the connection failed; the cause of this error says how'
}
