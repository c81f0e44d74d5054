/** The part of memjs 1.3.2 that `connection.ts` stands on; the package brings no types. */
declare module 'memjs' {
  import type { EventEmitter } from 'node:events'
  import type { Socket } from 'node:net'

  interface MemjsOptions {
    timeout: number
    conntimeout: number
    keepAlive: boolean
    retries: number
    failover: boolean
    logger: { log(...parts: unknown[]): void }
  }

  class Server extends EventEmitter {
    /** `new Server(undefined, '/path.sock')` is a unix socket. */
    constructor(
      host: string | undefined,
      port: number | string,
      username?: string,
      password?: string,
      options?: MemjsOptions,
    )
    username: string | undefined
    password: string | undefined
    _socket: Socket | undefined
    responseCallbacks: Record<number, unknown>
    responseHandler: (chunk: Buffer) => void
    respond(response: unknown): void
    error(cause: Error): void
    saslAuth(): void
  }

  class Client {
    constructor(servers: Server[], options: MemjsOptions)
    seq: number
    incrSeq(): void
    perform(key: string, request: Buffer, seq: number, callback: (error: Error | null, response: unknown) => void): void
  }

  const Utils: {
    makeRequestBuffer(
      opcode: number,
      key: Uint8Array | string,
      extras: Uint8Array | string,
      value: Uint8Array | string,
      seq: number,
    ): Buffer
  }

  const memjs: { Server: typeof Server; Client: typeof Client; Utils: typeof Utils }
  export default memjs
}
