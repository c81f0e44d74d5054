/**
 * Ends a statement at the server that nobody waits for any more. Closing the connection does not: a server that waits
 * for a lock looks at its client only when it has something to say, so each time-out would leave one backend waiting,
 * until `max_connections` is reached and nobody gets in.
 */
import { connect as connectSocket, isIP, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions as TlsOptions } from 'node:tls'

/** What the protocol asks of whoever cancels: where the server is, and what it told this connection alone. */
export interface CancelKey {
  readonly host: string
  readonly port: number
  readonly ssl: boolean | TlsOptions
  readonly isDirectTls: boolean
  readonly processId: number
  readonly secretKey: number
}

/** `undefined` for a client that does not say what is needed: one of another driver, or not connected. */
export const cancelKeyOf = (client: object): CancelKey | undefined => {
  const read = (name: string): unknown => Reflect.get(client, name)
  const [host, port, processId, secretKey] = [read('host'), read('port'), read('processID'), read('secretKey')]
  if (typeof host !== 'string' || typeof port !== 'number') return undefined
  if (typeof processId !== 'number' || typeof secretKey !== 'number') return undefined
  const ssl = read('ssl')
  return {
    host,
    port,
    ssl: typeof ssl === 'object' && ssl !== null ? ssl : ssl === true,
    isDirectTls: read('sslNegotiation') === 'direct',
    processId,
    secretKey,
  }
}

const CANCEL_REQUEST = 80_877_102
const SSL_REQUEST = 80_877_103

const message = (...numbers: readonly number[]): Buffer => {
  const bytes = Buffer.alloc(4 * (numbers.length + 1))
  bytes.writeInt32BE(bytes.length)
  for (const [index, number] of numbers.entries()) bytes.writeInt32BE(number, 4 * (index + 1))
  return bytes
}

/** A request that was begun: whether it got through, and how to give it up. */
export interface Cancelling {
  /** `true` once the server has taken it, which it says by closing; `false` when it could not be asked. */
  readonly delivered: Promise<boolean>
  giveUp(): void
}

/**
 * Asks the server to cancel what that connection is doing, over a connection of its own. Where the connection is
 * encrypted the request is too: it holds the key of the connection.
 */
export const cancelStatement = (key: CancelKey): Cancelling => {
  const { host, port, ssl, isDirectTls, processId, secretKey } = key
  const isFolder = host.startsWith('/')
  const socket = isFolder ? connectSocket(`${host}/.s.PGSQL.${port}`) : connectSocket(port, host)
  let wasSent = false
  const send = (through: Socket): void => {
    wasSent = true
    through.write(message(CANCEL_REQUEST, processId, secretKey))
  }
  const delivered = new Promise<boolean>((resolve) => {
    const failed = (): void => {
      wasSent = false
      socket.destroy()
    }
    const encrypt = (): void => {
      try {
        const options = typeof ssl === 'object' ? ssl : {}
        const name = isIP(host) === 0 && !isFolder ? { servername: host } : {}
        const alpn = isDirectTls ? { ALPNProtocols: ['postgresql'] } : {}
        const secure = connectTls({ socket, host, ...alpn, ...options, ...keyOf(ssl), ...name })
        secure.on('secureConnect', () => send(secure)).on('error', failed)
        secure.resume()
      } catch {
        failed()
      }
    }
    socket.on('error', failed)
    socket.on('close', () => resolve(wasSent))
    socket.on('connect', () => {
      if (ssl === false) {
        socket.resume()
        return send(socket)
      }
      if (isDirectTls) return encrypt()
      socket.once('data', (answer) => (answer.toString('latin1') === 'S' ? encrypt() : failed()))
      socket.write(message(SSL_REQUEST))
    })
  })
  return {
    delivered,
    giveUp: () => {
      wasSent = false
      socket.destroy()
    },
  }
}

/** pg hides the private key from those who list the options. */
const keyOf = (ssl: boolean | TlsOptions): TlsOptions =>
  typeof ssl === 'object' && ssl.key !== undefined ? { key: ssl.key } : {}
