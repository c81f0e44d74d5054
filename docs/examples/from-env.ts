import { sessionStoreFromEnv } from 'nonstick'

interface ShopSession {
  userId?: string
  cart: string[]
}

export const sessions = await sessionStoreFromEnv<ShopSession>({
  identify: (data) => data.userId, // what no variable can say
})
