import type { Runtime } from '../../contract/time.js'
import { deadlineAfter } from '../../tools/deadline.js'
import { isError } from '../../tools/is-error.js'
import { type Connection, Late } from './connection.js'
import { openServer, type ServerOptions } from './hardened-server.js'
import { type CacheRequest, type CacheResponse, OPCODE, STATUS } from './protocol.js'
import type { ServerAddress } from './servers.js'

interface Credentials {
  readonly username: string
  readonly password: string
}

export interface ConnectOptions extends ServerOptions {
  readonly credentials: Credentials | undefined
  readonly connectTimeoutMs: number
  readonly runtime: Runtime
}

/** Rejects also when `signal` is aborted; then nothing is left open. */
export type Connect = (server: ServerAddress, options: ConnectOptions, signal: AbortSignal) => Promise<Connection>

type Ask = (request: CacheRequest) => Promise<CacheResponse>

/**
 * Connects, signs in, and waits for the answer to a first NOOP: a frozen process still accepts connections,
 * and a change should not be the first thing that it is sent.
 */
export const connect: Connect = async (server, options, signal) => {
  const { runtime, credentials, connectTimeoutMs } = options
  const connection = openServer(server, options)
  const abort = (): void => connection.destroy(new Error('the cache was closed'))
  signal.addEventListener('abort', abort)
  const deadline = deadlineAfter(runtime, connectTimeoutMs)
  const ask: Ask = async (request) => {
    return (await connection.request(request, Math.max(1, Math.ceil(deadline.leftMs())))).response
  }
  try {
    if (credentials !== undefined) await signIn(ask, credentials)
    await greet(ask)
    return connection
  } catch (cause) {
    connection.destroy(isError(cause) ? cause : new Error(String(cause)))
    throw cause
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** Any status but success is a refusal. */
const signIn = async (ask: Ask, { username, password }: Credentials): Promise<void> => {
  const offered = accepted(await ask({ opcode: OPCODE.saslMechanisms }).catch(silent))
  if (!Buffer.from(offered.value).toString('latin1').split(' ').includes('PLAIN'))
    throw new Error('it does not offer to sign in with SASL PLAIN, the only way that is spoken here')
  const value = Buffer.from(`\0${username}\0${password}`)
  accepted(await ask({ opcode: OPCODE.saslAuthenticate, key: Buffer.from('PLAIN'), value }))
}

/** A Redis waits for more where it is asked that, while it answers a greeting. */
const silent = (cause: unknown): never => {
  if (!(cause instanceof Late)) throw cause
  throw new Error('it says nothing when it is to be signed in to: it hangs, or is no Memcached (a Redis, say)', {
    cause,
  })
}

const accepted = (response: CacheResponse): CacheResponse => {
  if (response.status === STATUS.ok) return response
  throw new Error(
    response.status === STATUS.unknownCommand
      ? 'it knows no SASL: leave out `username` and `password`, or start it with -S'
      : 'it refused the username and password: look at `username` and `password`',
  )
}

const greet = async (ask: Ask): Promise<void> => {
  const { status } = await ask({ opcode: OPCODE.noop })
  if (status === STATUS.ok) return
  throw new Error(
    status === STATUS.authenticationError
      ? 'it wants a username and password: give it `username` and `password`'
      : `it answered a greeting with status 0x${status.toString(16)}`,
  )
}
