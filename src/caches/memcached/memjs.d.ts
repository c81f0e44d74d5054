/** The part of memjs 1.3.2 that `hardened-server.ts` stands on, and its tests; the package brings no types. */
declare module 'memjs' {
  import type { EventEmitter } from 'node:events'

  /** Times in seconds. */
  export interface MemjsOptions {
    timeout?: number
    conntimeout?: number
    retries?: number
    retry_delay?: number
    failover?: boolean
    failoverTime?: number
    username?: string
    password?: string
    logger?: { log(...parts: unknown[]): void }
    serializer?: {
      serialize(opcode: number, value: unknown, extras: unknown): { value: unknown; extras: unknown }
      deserialize(opcode: number, value: unknown, extras: unknown): { value: unknown; extras: unknown }
    }
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
    host: string | undefined
    responseHandler(chunk: Buffer): void
    onResponse(seq: number, respond: (response: unknown) => void): void
    onError(seq: number, fail: (cause: Error) => void): void
    write(request: Buffer): void
    error(cause: Error): void
    close(): void
  }

  class Client {
    static create(servers: string, options?: MemjsOptions): Client
    constructor(servers: Server[], options: MemjsOptions)
    servers: Server[]
    getServer(key: string): number
    seq: number
    incrSeq(): void
    perform(key: string, request: Buffer, seq: number, callback: (error: Error | null, response: unknown) => void): void
    get(key: string): Promise<{ value: Buffer | null }>
    set(key: string, value: Uint8Array, options: { expires?: number }): Promise<boolean>
    add(key: string, value: Uint8Array, options: { expires?: number }): Promise<boolean>
    close(): void
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
