/** The few members we and our tests use of msgpackr's build without native strings and generated code; it has no types of its own. */
declare module 'msgpackr/index-no-eval' {
  export class Packr {
    constructor(options: { readonly moreTypes: boolean; readonly useToJSON: boolean })
    pack(value: unknown, mode: number): Uint8Array
    useBuffer(buffer: Uint8Array): void
  }
  export class Unpackr {
    constructor(options: {
      readonly moreTypes: boolean
      readonly mapsAsObjects: boolean
      readonly copyBuffers: boolean
      readonly structuredClone: boolean
    })
    unpack(bytes: Uint8Array): unknown
  }
  export interface TaggedExtension<T> {
    readonly Class: abstract new (...args: never[]) => T
    readonly type: number
    write(instance: T): unknown
    read(value: unknown): unknown
  }
  export function addExtension<T>(extension: TaggedExtension<T>): void
  export const RESET_BUFFER_MODE: number
}
