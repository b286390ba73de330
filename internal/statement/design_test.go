package statement_test

// design is the first vectors of the statements, which came with the design: they never change. The rules are added.
var design = vectors{
	Note:  "first test vectors of the statements; all byte strings in hex",
	TapID: "a621ca80d60c94aae53e2bd1750940c9",
	Pins: []pinVector{
		{
			ID:        "56475aa75463474c",
			PublicKey: "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
			Seed:      "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		},
		{
			ID:        "5540ee3de4e09522",
			PublicKey: "0bbc346a57667c380120bd9c7fd7e51d2c5fdfea37cd2f5bf405b2c6bf6f2d78",
			Seed:      "6465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f80818283",
		},
	},
	Halves: []halfVector{
		{
			Pin:       "56475aa75463474c",
			Peer:      "5540ee3de4e09522",
			Nonce:     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
			PeerNonce: "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
			Counter:   7,
			TimeMS:    1626998400123,
			RSSI:      -41,
			Link:      2,
			Bytes:     "5046483156475aa75463474c5540ee3de4e09522aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb000000070000017ad0a9647bd702000000000000",
			Signature: "dcbe691c7aa18a5de489527d65b304e0891e7ccfcf6500143a5d7dc0bbff17bb12c285c4be3736f86b6a4582bc8e8f36221f025e1342a13c4fd841da0afc8908",
		},
		{
			Pin:       "5540ee3de4e09522",
			Peer:      "56475aa75463474c",
			Nonce:     "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
			PeerNonce: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
			Counter:   4000000000,
			TimeMS:    0,
			RSSI:      0,
			Link:      1,
			Bytes:     "504648315540ee3de4e0952256475aa75463474cbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaee6b280000000000000000000001000000000000",
			Signature: "2cdf952085217b70dd847b9ff954686d3ba4fa392ef1075b591dabd1702e16f31facafd804fa9c245cac774a20c3c1917157adf5177a2ea63db4a3ab50750104",
		},
	},
	Steps: []stepsVector{
		{
			Pin:       "56475aa75463474c",
			Counter:   8,
			FirstSlot: 1807776,
			Steps:     []uint16{0, 1234, 4500},
			Bytes:     "5046533156475aa75463474c00000008001b95a003000000000004d21194",
			Signature: "c20f3179fe836db96f84c261a7f8369dc66de5f7b42e071f109c01e8ef69656b54ea44a4114706d5301f32d028d8d0e024284c58a3b6a8c9d6ebda6fd17a2b06",
		},
	},
	Proofs: []proofVector{
		{
			Pin:       "5540ee3de4e09522",
			Games:     "tokyo2020",
			Wearer:    "11111111111111111111111111111111",
			Random:    "22222222222222222222222222222222",
			Challenge: "6c65510e9bd190aeef835d428cd5e9ab0375c7e5bfacc95e3ebab3a48a85c4db",
			TimeMS:    1626998400456,
			Bytes:     "504650315540ee3de4e095226c65510e9bd190aeef835d428cd5e9ab0375c7e5bfacc95e3ebab3a48a85c4db0000017ad0a965c8",
			Signature: "6261ef5e21ed9a580100aac8cb573d4cbc7a11ef25b7947e6c3836ddf51f77adefd70a2f75534b2c00ddacfc1cae88f000e452d282b0fab5384a435dbc648602",
		},
	},
	MustBeRefused: []refusedVector{
		{
			Why:         "signature of another pin",
			Rule:        "BAD_SIGNATURE",
			PublicKeyOf: "56475aa75463474c",
			Bytes:       "5046483156475aa75463474c5540ee3de4e09522aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb000000070000017ad0a9647bd702000000000000",
			Signature:   "bfec230e9be7772a428c1ec7ba787483d4fd062649a5ea4e156ce86f012e4015e1c1f679f203ffaac7481eebc2009c92a61d02a88c7773104246c75f744a0d02",
		},
		{
			Why:         "one bit of the counter changed after signing",
			Rule:        "BAD_SIGNATURE",
			PublicKeyOf: "56475aa75463474c",
			Bytes:       "5046483156475aa75463474c5540ee3de4e09522aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb000000060000017ad0a9647bd702000000000000",
			Signature:   "dcbe691c7aa18a5de489527d65b304e0891e7ccfcf6500143a5d7dc0bbff17bb12c285c4be3736f86b6a4582bc8e8f36221f025e1342a13c4fd841da0afc8908",
		},
		{
			Why:         "reserved bytes not zero",
			Rule:        "RESERVED_NOT_ZERO",
			PublicKeyOf: "56475aa75463474c",
			Bytes:       "5046483156475aa75463474c5540ee3de4e09522aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb000000070000017ad0a9647bd702000000000001",
			Signature:   "4e952c3a74bbfa5307d081ff96c3907a14ef79d1cb2e3afb63b1ce9fdfc70c90f36fa8678a0ad5d30eb7288eb8e8978b20534efdc97e248c3300c8c943af8700",
		},
		{
			Why:         "71 bytes",
			Rule:        "MALFORMED",
			PublicKeyOf: "56475aa75463474c",
			Bytes:       "5046483156475aa75463474c5540ee3de4e09522aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb000000070000017ad0a9647bd7020000000000",
			Signature:   "663f4b001a12383786d066b37e8004a78387801d073f7847f1443af05c6a0dc9443449ace6682396a12a81498b8ceafce7c05d84b87862653cc029e6adc9c90d",
		},
		{
			Why:         "pin met itself",
			Rule:        "SELF_TAP",
			PublicKeyOf: "56475aa75463474c",
			Bytes:       "5046483156475aa75463474c56475aa75463474caaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb0000000900000000000000000002000000000000",
			Signature:   "8375ca735ee27ca9367107733c8f6a55a0c50ac628f86875a492e69ce11cd03787737f4a84b8c747ad58796c7c7d70e48f447f5b38c3a34cb2c91c0bec450305",
		},
	},
}
